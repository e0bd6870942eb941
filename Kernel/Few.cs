using System.Collections;

namespace Fleet.Kernel;

/// <summary>A list that mostly has one element, which lies in its owner; only a second one makes a list.</summary>
/// <remarks>
/// The same elements are always held in the same way, whatever was there in between: states of worlds are told apart by
/// what their objects hold. A part of whoever has it, not to be copied. Concurrency: one turn.
/// Source: docs/decisions/0161.
/// </remarks>
public struct Few<T> : IReadOnlyList<T>
    where T : class
{
    // Nothing, the only element, or a list of several.
    private object? _held;

    public readonly int Count => _held is List<T> several ? several.Count : _held is null ? 0 : 1;

    public readonly T this[int index]
    {
        get
        {
            if (_held is List<T> several)
            {
                return several[index];
            }

            ArgumentOutOfRangeException.ThrowIfNotEqual(index, 0);
            return (T?)_held ?? throw new ArgumentOutOfRangeException(nameof(index));
        }
    }

    public void Add(T one)
    {
        if (_held is List<T> several)
        {
            several.Add(one);
        }
        else
        {
            _held = _held is null ? one : new List<T>(2) { (T)_held, one };
        }
    }

    /// <returns>False where it is not there.</returns>
    public bool Remove(T one)
    {
        if (_held is List<T> several)
        {
            var isThere = several.Remove(one);
            _held = several.Count == 1 ? several[0] : several;
            return isThere;
        }

        if (!ReferenceEquals(_held, one))
        {
            return false;
        }

        _held = null;
        return true;
    }

    public void RemoveAt(int index) => Remove(this[index]);

    public void Clear() => _held = null;

    public readonly T[] ToArray() =>
        _held is List<T> several ? several.ToArray() : _held is null ? [] : [(T)_held];

    public readonly Enumerator GetEnumerator() => new(this);

    readonly IEnumerator<T> IEnumerable<T>.GetEnumerator()
    {
        foreach (var one in this)
        {
            yield return one;
        }
    }

    readonly IEnumerator IEnumerable.GetEnumerator() => ((IEnumerable<T>)this).GetEnumerator();

    /// <summary>Its elements in their order.</summary>
    public struct Enumerator
    {
        private readonly Few<T> _few;
        private int _next;

        internal Enumerator(Few<T> few) => _few = few;

        public readonly T Current => _few[_next - 1];

        public bool MoveNext() => _next++ < _few.Count;
    }
}
