"""An upper abdomen in CT: a liver with lesions, and what lies around it."""
