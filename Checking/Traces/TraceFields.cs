namespace Fleet.Checking.Traces;

/// <summary>A field of a record that some rule needs.</summary>
internal enum TraceField : byte
{
    None, Dev, Pdev, Bus, Devfn, Bar, Size, Pgmap, Start, End, Type, Ref, Count, Pool, Addr, Virt, Phys, Owner, Order,
    Ret, Page, Pfn, Val, Data, Pid,
}

/// <summary>The fields of one record: numbers by name, and the few texts.</summary>
internal ref struct TraceFields
{
    private Values _values;
    private uint _present;

    /// <summary>Name of the device, without its quotation marks.</summary>
    public ReadOnlySpan<byte> Name;

    /// <summary>Function of a devres action, without its offset.</summary>
    public ReadOnlySpan<byte> Action;

    /// <summary>Release callback of a percpu_ref, by name; empty where only its address is known.</summary>
    public ReadOnlySpan<byte> Release;

    /// <summary>Function that a return went to; empty for an entry.</summary>
    public ReadOnlySpan<byte> Caller;

    [System.Runtime.CompilerServices.InlineArray(32)]
    private struct Values
    {
        private ulong _first;
    }

    public readonly bool Has(TraceField field) => (_present & (1u << (int)field)) != 0;

    /// <summary>The number, or 0 where the record has none.</summary>
    public readonly ulong this[TraceField field] => Has(field) ? _values[(int)field] : 0;

    /// <summary>Errno of a return; 0 for success.</summary>
    public readonly long Error => Math.Max(0, -(long)unchecked((int)this[TraceField.Ret]));

    /// <returns>False when a field that a rule needs holds no number.</returns>
    public static bool TryParse(ReadOnlySpan<byte> body, out TraceFields fields, out ReadOnlySpan<byte> bad)
    {
        fields = default;
        bad = default;
        if (!body.IsEmpty && body[0] == '(')
        {
            var close = body.IndexOf(") "u8);
            close = close < 0 && body[^1] == ')' ? body.Length - 1 : close;
            if (close < 0)
            {
                bad = body;
                return false;
            }

            fields.ReadProbe(body[1..close]);
            body = body[(close + 1)..];
        }

        while (true)
        {
            body = body.TrimStart((byte)' ');
            if (body.IsEmpty)
            {
                return true;
            }

            var equals = body.IndexOf((byte)'=');
            if (equals <= 0)
            {
                return true;
            }

            var key = body[..equals];
            if (key.LastIndexOf((byte)' ') is var blank and >= 0)
            {
                key = key[(blank + 1)..];
            }

            body = body[(equals + 1)..];
            var value = ValueOf(body, out var used, out var isText);
            body = body[used..];
            if (!fields.Store(key, value, isText))
            {
                bad = key;
                return false;
            }
        }
    }

    private static ReadOnlySpan<byte> ValueOf(ReadOnlySpan<byte> body, out int used, out bool isText)
    {
        isText = !body.IsEmpty && body[0] == '"';
        if (!isText)
        {
            var end = body.IndexOf((byte)' ');
            used = end < 0 ? body.Length : end;
            return body[..used];
        }

        var close = body[1..].IndexOf("\" "u8);
        if (close >= 0)
        {
            used = close + 2;
            return body.Slice(1, close);
        }

        used = body.Length;
        return body[1..^(body.Length > 1 && body[^1] == '"' ? 1 : 0)];
    }

    private void ReadProbe(ReadOnlySpan<byte> place)
    {
        var arrow = place.IndexOf(" <- "u8);
        if (arrow >= 0)
        {
            Caller = SymbolOf(place[..arrow]);
        }
    }

    private static ReadOnlySpan<byte> SymbolOf(ReadOnlySpan<byte> place)
    {
        var end = place.IndexOfAny((byte)'+', (byte)' ', (byte)'/');
        return end < 0 ? place : place[..end];
    }

    private bool Store(ReadOnlySpan<byte> key, ReadOnlySpan<byte> value, bool isText)
    {
        var field = FieldOf(key);
        if (isText)
        {
            if (field is TraceField.Dev || key.SequenceEqual("name"u8))
            {
                Name = value;
            }

            return true;
        }

        if (field is TraceField.None)
        {
            if (key.SequenceEqual("action"u8))
            {
                Action = SymbolOf(value);
            }
            else if (key.SequenceEqual("release"u8) && !value.StartsWith("0x"u8))
            {
                Release = SymbolOf(value);
            }

            return true;
        }

        if (!TraceText.TryNumber(value, out var number))
        {
            return value.SequenceEqual("(fault)"u8);
        }

        _values[(int)field] = number;
        _present |= 1u << (int)field;
        return true;
    }

    private static TraceField FieldOf(ReadOnlySpan<byte> key) => key.Length switch
    {
        3 => key[0] switch
        {
            (byte)'d' when key.SequenceEqual("dev"u8) => TraceField.Dev,
            (byte)'b' when key.SequenceEqual("bus"u8) => TraceField.Bus,
            (byte)'b' when key.SequenceEqual("bar"u8) => TraceField.Bar,
            (byte)'e' when key.SequenceEqual("end"u8) => TraceField.End,
            (byte)'r' when key.SequenceEqual("ref"u8) => TraceField.Ref,
            (byte)'r' when key.SequenceEqual("ret"u8) => TraceField.Ret,
            (byte)'p' when key.SequenceEqual("pfn"u8) => TraceField.Pfn,
            (byte)'p' when key.SequenceEqual("pid"u8) => TraceField.Pid,
            (byte)'v' when key.SequenceEqual("val"u8) => TraceField.Val,
            _ => TraceField.None,
        },
        4 => key[0] switch
        {
            (byte)'p' when key.SequenceEqual("pdev"u8) => TraceField.Pdev,
            (byte)'p' when key.SequenceEqual("pool"u8) => TraceField.Pool,
            (byte)'p' when key.SequenceEqual("page"u8) => TraceField.Page,
            (byte)'p' when key.SequenceEqual("phys"u8) => TraceField.Phys,
            (byte)'s' when key.SequenceEqual("size"u8) => TraceField.Size,
            (byte)'t' when key.SequenceEqual("type"u8) => TraceField.Type,
            (byte)'a' when key.SequenceEqual("addr"u8) => TraceField.Addr,
            (byte)'v' when key.SequenceEqual("virt"u8) => TraceField.Virt,
            (byte)'d' when key.SequenceEqual("data"u8) => TraceField.Data,
            _ => TraceField.None,
        },
        5 => key[0] switch
        {
            (byte)'d' when key.SequenceEqual("devfn"u8) => TraceField.Devfn,
            (byte)'p' when key.SequenceEqual("pgmap"u8) => TraceField.Pgmap,
            (byte)'s' when key.SequenceEqual("start"u8) => TraceField.Start,
            (byte)'c' when key.SequenceEqual("count"u8) => TraceField.Count,
            (byte)'o' when key.SequenceEqual("owner"u8) => TraceField.Owner,
            (byte)'o' when key.SequenceEqual("order"u8) => TraceField.Order,
            (byte)'f' when key.SequenceEqual("folio"u8) => TraceField.Page,
            _ => TraceField.None,
        },
        9 when key.SequenceEqual("start_pfn"u8) => TraceField.Pfn,
        _ => TraceField.None,
    };
}
