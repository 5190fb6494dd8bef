"""What two chest CTs can be compared by: volumes with their lungs, noise, dense structures, pictures."""
