"""What reads code: files, modules, what the names in them mean, handlers and where they are attached."""
