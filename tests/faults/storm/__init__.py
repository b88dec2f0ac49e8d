"""The fault storm: everything fails under load, and then the clicks of the users are compared with the cloud's actions.

The same seed gives the same plan: what fails when and how, and what users click one after another. It does not give the
same interleaving: that depends on threads, processes and the network.
"""
