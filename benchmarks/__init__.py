"""Times and memory of the package beside plain code, other libraries and what the machine allows."""
