namespace Fleet.Grains.Shells;

/// <summary>The answer of an object that may not execute any of a vector's operations.</summary>
internal static class Refusals
{
    public static TReply[] Of<TReply>(int count, TReply each)
    {
        var replies = new TReply[count];
        Array.Fill(replies, each);
        return replies;
    }
}
