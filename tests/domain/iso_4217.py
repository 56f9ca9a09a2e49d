"""Minor units as the ISO 4217 standard lists them (list one), typed by hand: the package is not its own judge."""

MINOR_UNITS = {
    "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF": 0,
    "AUD BRL CAD CHF CNY CZK DKK EUR GBP HKD HUF INR MXN NOK NZD PLN SEK SGD USD ZAR": 2,
    "BHD IQD JOD KWD LYD OMR TND": 3,
    "CLF UYW": 4,
}
# In the standard's table with "N.A." for the minor unit: metals, bond units, the test code, no currency.
WITHOUT_MINOR_UNIT = ["XAU", "XAG", "XPT", "XPD", "XBA", "XBB", "XBC", "XBD", "XDR", "XTS", "XXX", "XUA", "XSU"]

BY_CODE = {code: units for codes, units in MINOR_UNITS.items() for code in codes.split()}
