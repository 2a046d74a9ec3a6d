"""What a command line means.

arguments.py takes it apart, settings.py merges it with files and finds classes by name, parser.py gives the result to
LightningCLI, running.py builds trainer, task and data from it and runs them.
"""
