"""What Allure is told of a run: contents of its files, and attachments. Pure: nothing is written here.

The recipe that makes pages of it, with npm, lies in reports/allure.
"""
