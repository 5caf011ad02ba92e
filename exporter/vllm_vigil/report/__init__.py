"""A month in Prometheus -> the report on it, for the people who pay for the service and those who run it.

month        which span of time, and the one before
prometheus   PromQL -> numbers, over HTTP
questions    what is asked, a row each
figures      the answers, put together per server
spells       when an incident was open -> how often, how long
advice       figures -> what to change
document     figures -> titles, sentences, tables and charts
markdown, html, chart, text    the document -> what is read
"""
