/* bcryptprimitives.dll for a Wine that lacks it: ProcessPrng, which wheels written in Rust import, over RtlGenRandom.
 * Source: ProcessPrng in Microsoft's reference of "Cryptography Next Generation"; RtlGenRandom in ntsecapi.h. */

#include <windows.h>
#include <ntsecapi.h>

#define LARGEST_PART 0x10000000u

__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE data, SIZE_T size)
{
    while (size > 0) {
        ULONG part = size < LARGEST_PART ? (ULONG)size : LARGEST_PART;
        if (!RtlGenRandom(data, part))
            return FALSE;
        data += part;
        size -= part;
    }
    return TRUE;
}
