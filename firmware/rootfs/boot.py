# Nothing to set up: main.py runs the node.
