"""What starts work by itself: the sensor's micro-batches and the scheduled maintenance."""
