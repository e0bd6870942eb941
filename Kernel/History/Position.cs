namespace Fleet.Kernel.History;

/// <summary>Where an object did something: its own order, whatever any clock says.</summary>
/// <remarks>Source: history-format, sections Objects and Order. <c>default</c> (Obj 0) means "no position".</remarks>
/// <param name="Obj">Id of the object in the <see cref="ObjectTable"/> of the history; 0 = no position.</param>
/// <param name="Gen">Incarnation of the object in the system that ran it; a later one is larger.</param>
/// <param name="Seq">Dense from 1 within (<paramref name="Obj"/>, <paramref name="Gen"/>).</param>
/// <param name="Life">Reuse of the modelled object inside one incarnation: a rebind makes a new life.</param>
public readonly record struct Position(int Obj, int Gen, long Seq, int Life)
{
    public bool IsNone => Obj == 0;
}

/// <summary>Name of one allocation, unique in a run: <c>dev#gen#n</c>.</summary>
/// <param name="Device">Id of the device in the <see cref="ObjectTable"/>; 0 = no allocation.</param>
/// <param name="Gen">Incarnation of the device that gave it.</param>
/// <param name="Number">Counted from 1 by that incarnation.</param>
public readonly record struct AllocId(int Device, int Gen, long Number)
{
    public bool IsNone => Device == 0;
}
