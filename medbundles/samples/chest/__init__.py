"""A synthetic chest CT, one room a module: patient, anatomy, trees, nodules, look-alikes, acquisition.

Everything here works in the patient's own frame: LPS millimetres with the carina at the origin (x to the patient's
left, y to the back, z to the head), arrays in ``(z, y, x)`` order. Only :mod:`medbundles.samples.chest.scan` adds the
scanner's offset.
"""
