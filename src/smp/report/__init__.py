"""What came out, for people: one HTML page (page), the README's generated parts (readme).

python -m smp.report          writes output/report/index.html
python -m smp.report readme   rewrites the README's tables and exp/figures
"""
