"""SoldierPools: declared at the Commander, one Deployment each, and how they are doing."""
