"""Caches that machines share: imported before a build, exported after it."""
