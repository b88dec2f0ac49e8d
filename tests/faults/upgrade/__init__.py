"""The previous release and this one side by side on one database, under load: no request fails, and no job is lost."""
