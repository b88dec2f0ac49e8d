"""The fault storm: everything breaks under load, and then what was clicked is compared with what the cloud did.

`python -m tests.faults.storm --seed 1 --kills 200` has servers of its own and needs nothing that runs already.
The same seed gives the same plan: which things break when and how, and what people wish for one after another.
It does not give the same interleaving: threads, processes and the network stay as they are.
"""
