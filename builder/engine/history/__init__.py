"""What builds did: collected from their events, kept in the store, found by id."""
