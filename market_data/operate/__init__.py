"""What people and sensors look at: plan, coverage, doctor, and when to launch."""
