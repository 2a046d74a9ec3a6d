"""Sweeps: many runs of one config with some of its settings varied, chosen and counted by
Optuna.
"""
