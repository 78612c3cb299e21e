"""Our detectors in the clothes of river and scikit-learn; each module needs its package."""
