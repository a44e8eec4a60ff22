"""Commissioning: identity, keys and place of a node, its label, the inventory, and what happens after a theft.

`commission` writes one board, `many` several at once; `sheet` reads CSV files, `label` draws, `report` compares the
inventory with what was heard. COMMISSIONING.md has the laws.
"""
