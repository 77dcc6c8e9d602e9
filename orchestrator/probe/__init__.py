"""Say what is checked of a site, and what the checks say together."""
