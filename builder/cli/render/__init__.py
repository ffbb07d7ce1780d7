"""What people see while a build runs and when it fails; ``choose.choose`` picks a renderer."""
