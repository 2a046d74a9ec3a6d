"""Runs, looked at afterwards: a page for one, a table of many, a comparison of some. Only the files of run folders are read."""
