"""Looking at things: a page of a run, a table of many, a comparison of some, read from run folders;
and the data of a config.
"""
