"""Effects: carry plans out through Ansible, read the store."""
