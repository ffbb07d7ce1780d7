"""Linux namespaces, mounts, capabilities; knows nothing of builds."""
