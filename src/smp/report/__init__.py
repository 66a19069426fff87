"""What came out, for people: one HTML page (page), the generated parts of README.md and exp/README.md (readme).

python -m smp.report          writes output/report/index.html
python -m smp.report readme   rewrites those and exp/figures
"""
