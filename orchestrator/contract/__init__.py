"""Read one client's contract: YAML in, frozen values or all mistakes out."""
