"""Sample models, trained in seconds on scikit-learn's bundled data."""
