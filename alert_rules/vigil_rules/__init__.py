"""What of alert_rules/ a program writes: rules of one shape (objectives, raw names), links, the table of alerts."""
