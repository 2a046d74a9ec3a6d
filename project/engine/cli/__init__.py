"""What a command line means.

arguments.py takes it apart, classes.py finds classes by name, settings.py merges command line and
files, parser.py gives the result to LightningCLI; beginning.py finds where a run starts, fitting.py
and evaluation.py build trainer, task and data and run them.
"""
