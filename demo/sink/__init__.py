"""Where notifications end in the demo: takes what Slack, PagerDuty and a mail server take, and shows it on a page."""
