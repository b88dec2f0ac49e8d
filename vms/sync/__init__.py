"""Read clouds and write what they report to the rows of VMs."""
