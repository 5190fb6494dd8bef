"""What several measurements do alike."""
