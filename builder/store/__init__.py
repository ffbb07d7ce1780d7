"""Everything that stays on disk: blobs, snapshots, images, references, records."""
