"""What all sample writers need: file formats, an output folder that can be resumed, work on several processes."""
