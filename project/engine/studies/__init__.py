"""Short trainings that answer a question: which learning rate, which batch size, how sure is a
figure.
"""
