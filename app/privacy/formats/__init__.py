"""What leaves and stays beside the database: the list of erasures, and a person's own data."""
