"""From snapshots to images and archives."""
