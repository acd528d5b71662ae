"""The three images: built with what the machine has, and brought to the cluster without a registry."""
