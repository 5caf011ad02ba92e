"""What a service promises -> the objectives that rules and the monthly report are made from."""
