//! First centroids: k-means++ on a sub-sample.
