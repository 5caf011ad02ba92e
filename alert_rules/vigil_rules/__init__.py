"""What of alert_rules/ is written by a program: rules of one shape (objectives, raw names), links, the table of alerts."""
