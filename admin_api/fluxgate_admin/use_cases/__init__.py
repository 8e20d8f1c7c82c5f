"""What can be done through the admin API, whatever the surface. Nothing here knows HTTP or SQL."""
