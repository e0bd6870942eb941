namespace Fleet.Checking.Traces;

/// <summary>Bytes of a trace as text and numbers; nothing in a trace is trusted.</summary>
internal static class TraceText
{
    /// <summary>Longer names are cut: the kernel's own limit for a task is 15 bytes, for a symbol 512.</summary>
    private const int LengthMax = 80;

    /// <summary>Printable ASCII as it is, every other byte as '?', cut at <see cref="LengthMax"/>.</summary>
    public static string Printable(ReadOnlySpan<byte> bytes)
    {
        var cut = bytes.Length > LengthMax;
        var shown = cut ? bytes[..LengthMax] : bytes;
        Span<char> text = stackalloc char[shown.Length + 1];
        for (var i = 0; i < shown.Length; i++)
        {
            text[i] = shown[i] is >= 0x20 and < 0x7f ? (char)shown[i] : '?';
        }

        text[shown.Length] = '…';
        return new(cut ? text : text[..shown.Length]);
    }

    public static bool IsDigit(byte letter) => letter is >= (byte)'0' and <= (byte)'9';

    /// <summary>Reads decimal digits; false when there are none, others, or more than fit.</summary>
    public static bool TryDecimal(ReadOnlySpan<byte> digits, out long value)
    {
        value = 0;
        if (digits.IsEmpty || digits.Length > 18)
        {
            return false;
        }

        foreach (var digit in digits)
        {
            if (!IsDigit(digit))
            {
                return false;
            }

            value = (value * 10) + (digit - '0');
        }

        return true;
    }

    /// <summary>Reads <c>0x…</c>, a decimal, or a negative decimal, which comes as its two's complement.</summary>
    public static bool TryNumber(ReadOnlySpan<byte> text, out ulong value)
    {
        value = 0;
        if (text.Length > 2 && text[0] == '0' && (text[1] | 0x20) == 'x')
        {
            return TryHexadecimal(text[2..], out value);
        }

        var negative = text.Length > 1 && text[0] == '-';
        if (TryDecimal(negative ? text[1..] : text, out var number))
        {
            value = unchecked((ulong)(negative ? -number : number));
            return true;
        }

        return ulong.TryParse(text, System.Globalization.NumberStyles.None, null, out value);
    }

    private static bool TryHexadecimal(ReadOnlySpan<byte> digits, out ulong value)
    {
        value = 0;
        if (digits.Length > 16)
        {
            return false;
        }

        foreach (var digit in digits)
        {
            var letter = digit | 0x20;
            if (!IsDigit(digit) && letter is < 'a' or > 'f')
            {
                return false;
            }

            value = (value << 4) | (uint)(IsDigit(digit) ? digit - '0' : letter - 'a' + 10);
        }

        return true;
    }
}
