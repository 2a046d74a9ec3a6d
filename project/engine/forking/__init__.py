"""Projects made from this one: a new folder under a name of its own, or this one renamed."""
