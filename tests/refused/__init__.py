"""What the callers of one organization are kept from, under every mount."""
